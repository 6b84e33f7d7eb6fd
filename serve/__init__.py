"""The service: a Ray Serve application that answers questions over HTTP and shows its work."""
