"""What is written without measuring: a FastAPI endpoint that calls the model once per request.

    python -m benchmarks.service_plain PORT_FILE [--engine ENGINE]

The engine is `published` (`benchmarks.plain`: Pillow, ONNX Runtime fp32 on the published graph), or one of
ours, which then gets each picture alone, prepared in the server's own process and threads.
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File
from PIL import Image

from benchmarks import plain
from classifier import predict, preprocess
from classifier.models import catalogue

MODEL = "open_nsfw"


def scorer(engine: str) -> Callable[[bytes], float]:
    """The function behind the endpoint."""
    if engine == "published":
        of_path = plain.standalone()

        def from_file(content: bytes) -> float:
            with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
                file.write(content)
                file.flush()
                return of_path(Path(file.name))

        return from_file
    classifier = predict.load(MODEL, engine)
    prepare = preprocess.get(catalogue.card(MODEL).preprocessing).prepare

    def from_bytes(content: bytes) -> float:
        with Image.open(io.BytesIO(content)) as image:
            pixels = prepare(image)
        return float(classifier.predict(pixels[None])[0])

    return from_bytes


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("port_file", type=Path)
    parser.add_argument("--engine", default="published")
    arguments = parser.parse_args()
    score = scorer(arguments.engine)
    app = FastAPI()

    @app.post("/classify")
    def classify(file: Annotated[bytes, File()]) -> dict[str, float]:
        return {"score": score(file)}

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False)
    taken = config.bind_socket()
    arguments.port_file.write_text(str(taken.getsockname()[1]))
    uvicorn.Server(config).run(sockets=[taken])


if __name__ == "__main__":
    main()
