"""The river on Ray: plan, sample, judge, curate, and the loop over rounds."""
