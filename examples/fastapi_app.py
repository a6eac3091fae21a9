"""A FastAPI service that is watched from within: uvicorn examples.fastapi_app:app (pip install fastapi uvicorn)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from monitor import Monitor


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the monitor in the process that serves, and close it when that ends."""
    with Monitor.open("config.toml", on_error="log") as app.state.monitor:
        yield


app = FastAPI(lifespan=lifespan)


class Flat(BaseModel):
    """What the model is given: the features of the reference, by name."""

    rooms: float
    area: float


@app.post("/predict")
async def predict(flat: Flat, request: Request) -> dict[str, float | str]:
    """Predict; observing takes some microseconds, and does not block the loop."""
    price = 3.0 * flat.rooms + 0.1 * flat.area  # your model
    return {"price": price, "prediction_id": request.app.state.monitor.observe(flat.model_dump(), price)}


@app.get("/metrics")
async def metrics(request: Request) -> Response:
    """What Prometheus scrapes."""
    body, content_type = request.app.state.monitor.metrics(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
