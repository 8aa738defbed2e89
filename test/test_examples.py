"""The examples do what they say."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from std_msgs.msg import Header

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.msg import Blendshapes, BlendshapesArray
from face3dmm_ros.nodes.qos import result_qos

RCLCPP = """
// Of rclcpp what the example uses, to check it against the generated headers where rclcpp itself is missing.
#pragma once
#include <functional>
#include <memory>
namespace rclcpp {
template<typename M> struct Subscription { using SharedPtr = std::shared_ptr<Subscription<M>>; };
class Node {
public:
  explicit Node(const char *) {}
  template<typename M>
  typename Subscription<M>::SharedPtr create_subscription(const char *, int, std::function<void(const M &)>) {
    return nullptr;
  }
};
inline void init(int, char **) {}
inline void spin(std::shared_ptr<Node>) {}
inline void shutdown() {}
}
"""


def test_the_python_subscriber_prints_the_strongest_blendshapes(spun, repository):
    command = [sys.executable, "-u", str(repository / "examples" / "avatar_subscriber.py")]
    publisher = spun.node.create_publisher(BlendshapesArray, "/avatar/blendshapes", result_qos(10))
    weights = [0.9 if name == "jawOpen" else 0.0 for name in ARKIT_NAMES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            spun.spin_until(publisher.get_subscription_count, "the example to listen")
            spun.spin_for(0.2)
            faces = [Blendshapes(face_id=3, weights=weights)]
            publisher.publish(BlendshapesArray(names=ARKIT_NAMES, faces=faces))
            publisher.publish(BlendshapesArray(header=Header()))
            lines = [process.stdout.readline() for _ in range(2)]
            assert process.poll() is None, "it goes on listening"
        finally:
            process.kill()
    assert "face 3" in lines[0]
    assert "jawOpen ##################" in lines[0]
    assert lines[1] == "no face\n"


def test_the_cpp_subscriber_compiles_against_the_generated_headers(tmp_path, repository):
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    prefixes = [Path(prefix) / "include" for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if prefix]
    folders = [folder for prefix in prefixes if prefix.is_dir() for folder in prefix.iterdir() if folder.is_dir()]
    if not any((folder / "face3dmm_ros/msg/blendshapes.hpp").is_file() for folder in folders):
        pytest.skip("needs the C++ headers of the package's messages: rosidl_generator_cpp")
    if not any((folder / "rclcpp/rclcpp.hpp").is_file() for folder in folders):
        (tmp_path / "rclcpp").mkdir()
        (tmp_path / "rclcpp" / "rclcpp.hpp").write_text(RCLCPP)
        folders.append(tmp_path)
    source = repository / "examples" / "avatar_subscriber_cpp" / "src" / "avatar_subscriber.cpp"
    command = [compiler, "-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror"]
    command += [argument for folder in folders for argument in ("-isystem", str(folder))]
    result = subprocess.run([*command, str(source)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
