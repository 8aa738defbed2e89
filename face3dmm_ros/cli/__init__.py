"""The same verbs without ROS."""
