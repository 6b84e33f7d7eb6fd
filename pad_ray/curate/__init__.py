"""From verified programs to training examples: one form, no doubles, a cap, a balance; every loss counted by reason."""
