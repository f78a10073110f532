import onnx
import onnxruntime
from onnx import TensorProto, helper

image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 96, 27, 27])
map = helper.make_tensor_value_info("map", TensorProto.FLOAT, ["N", 96, 27, 27])
opset = [helper.make_opsetid("", 20)]
node = helper.make_node("LRN", ["image"], ["map"], size=4, alpha=1e-4, beta=0.75, bias=2.0)
model = helper.make_model(helper.make_graph([node], "net", [image], [map]), ir_version=10, opset_imports=opset)
onnx.checker.check_model(model, full_check=True)  # finds nothing
onnxruntime.InferenceSession(model.SerializeToString())
