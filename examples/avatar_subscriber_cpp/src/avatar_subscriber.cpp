// Listen to the weights that drive an avatar, and to where the head is: a start for an avatar of your own.
//
//   colcon build       in a workspace whose src/ holds face3dmm_ros and a copy of this folder
//   ros2 launch face3dmm_ros avatar.launch.py
//   ros2 run avatar_subscriber_cpp avatar_subscriber

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>

#include "face3dmm_ros/msg/blendshapes_array.hpp"
#include "face3dmm_ros/msg/face3_dmm_params_array.hpp"
#include "rclcpp/rclcpp.hpp"

using face3dmm_ros::msg::BlendshapesArray;
using face3dmm_ros::msg::Face3DMMParamsArray;

class AvatarSubscriber : public rclcpp::Node
{
public:
  AvatarSubscriber()
  : Node("avatar_subscriber")
  {
    weights_ = create_subscription<BlendshapesArray>(
      "avatar/blendshapes", 10, [this](const BlendshapesArray & message) {on_weights(message);});
    parameters_ = create_subscription<Face3DMMParamsArray>(
      "face/params", 10, [this](const Face3DMMParamsArray & message) {on_parameters(message);});
  }

private:
  void on_parameters(const Face3DMMParamsArray & message)
  {
    distances_.clear();
    for (const auto & face : message.faces) {
      distances_[face.face_id] = face.pose.position.z;
    }
  }

  // Each message is one image's; an image without a face is answered with no faces.
  void on_weights(const BlendshapesArray & message)
  {
    if (message.faces.empty()) {
      std::printf("no face\n");
    }
    for (const auto & face : message.faces) {
      const auto strongest = std::max_element(face.weights.begin(), face.weights.end());
      const auto index = static_cast<std::size_t>(strongest - face.weights.begin());
      std::printf(
        "face %u at %.2f m: %s %.2f\n", face.face_id, distances_[face.face_id],
        message.names[index].c_str(), static_cast<double>(*strongest));
    }
  }

  rclcpp::Subscription<BlendshapesArray>::SharedPtr weights_;
  rclcpp::Subscription<Face3DMMParamsArray>::SharedPtr parameters_;
  std::map<std::uint32_t, double> distances_;  // metres, by face_id
};

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<AvatarSubscriber>());
  rclcpp::shutdown();
  return 0;
}
