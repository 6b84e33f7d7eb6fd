"""Teachers: whoever answers Requests with Samples. Recordings, and the student itself in rounds after 0."""
