"""What every room speaks of: values, cameras, errors, and the machine that it all runs on. Imports nothing of ours."""
