from ultralytics import YOLO

YOLO("early.yaml", task="detect")
