"""From a prompt to programs: engines that generate text, and the vote over what the programs gave."""
