"""What `launch.benchmark` measures, one topic a file."""
