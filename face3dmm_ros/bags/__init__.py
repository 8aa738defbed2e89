"""rosbag2 without ROS: reading, writing, and the pipeline replayed over a bag."""
