"""ROS in, ROS out: lifecycle nodes around the library. No algorithm lives here."""
