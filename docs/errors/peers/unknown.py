from ultralytics import YOLO

YOLO("unknown.yaml", task="detect")
