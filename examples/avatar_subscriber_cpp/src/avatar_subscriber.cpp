// Listen to the weights that drive an avatar, and to where the head is: a start for an avatar of your own.
//
//   colcon build       in a workspace whose src/ holds face3dmm_ros and a copy of this folder
//   ros2 launch face3dmm_ros avatar.launch.py
//   ros2 run avatar_subscriber_cpp avatar_subscriber

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>

#include "face3dmm_ros/msg/blendshapes.hpp"
#include "geometry_msgs/msg/pose_stamped.hpp"
#include "rclcpp/rclcpp.hpp"

class AvatarSubscriber : public rclcpp::Node
{
public:
  AvatarSubscriber()
  : Node("avatar_subscriber")
  {
    weights_ = create_subscription<face3dmm_ros::msg::Blendshapes>(
      "avatar/blendshapes", 10,
      [this](const face3dmm_ros::msg::Blendshapes & message) {on_weights(message);});
    pose_ = create_subscription<geometry_msgs::msg::PoseStamped>(
      "face/pose", 10,
      [this](const geometry_msgs::msg::PoseStamped & message) {distance_ = message.pose.position.z;});
  }

private:
  // One message is one face of one image; an image without a face is answered by face_count 0.
  void on_weights(const face3dmm_ros::msg::Blendshapes & message)
  {
    if (message.face_count == 0 || message.weights.empty()) {
      std::printf("no face\n");
      return;
    }
    const auto strongest = std::max_element(message.weights.begin(), message.weights.end());
    const auto index = static_cast<std::size_t>(strongest - message.weights.begin());
    std::printf(
      "face %u at %.2f m: %s %.2f\n", message.face_id, distance_, message.names[index].c_str(),
      static_cast<double>(*strongest));
  }

  rclcpp::Subscription<face3dmm_ros::msg::Blendshapes>::SharedPtr weights_;
  rclcpp::Subscription<geometry_msgs::msg::PoseStamped>::SharedPtr pose_;
  double distance_ = 0.0;  // metres
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<AvatarSubscriber>());
  rclcpp::shutdown();
  return 0;
}
