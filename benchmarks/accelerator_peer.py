"""The side of PyTorch and torchvision in `benchmarks.accelerator`."""

import importlib
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision

from benchmarks.accelerator_jobs import CLASSES, COUNTS, IMAGE, PHOTOS, Job, Prepared, inputs, maps, random_boxes

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
COMPILED = DEVICE == 'cuda'


def prepare(job: Job, permits: Any) -> Prepared:
    """Compile the passes of a job by running each."""
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return _suppression() if job.kind == 'suppression' else _network(job, permits)


def _network(job: Job, permits: Any) -> Prepared:
    torch._dynamo.config.suppress_errors = True  # a part that does not compile runs as it is
    model = _model(job).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, fused=COMPILED)
    batch = inputs(job)
    images = torch.from_numpy(batch['image']).permute(0, 3, 1, 2).to(DEVICE, memory_format=torch.channels_last)
    loss = _loss(job, model, batch, images)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(DEVICE, torch.bfloat16, enabled=job.dtype == 'bfloat16'):
            value = loss()
        value.backward()
        optimizer.step()

    def forward() -> None:
        with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16, enabled=job.dtype == 'bfloat16'):
            model(list(images.contiguous()) if job.kind == 'boxes' else images)

    calls, facts, runs = {'step': step, 'forward': forward}, {}, {}
    for name in job.passes:
        runs[name] = _timed(calls[name], model, training=name == 'step')
        start = time.perf_counter()
        runs[name](1)
        facts[name] = {'compile_s': time.perf_counter() - start}
        with permits:  # cuDNN tries its kernels in the first runs
            runs[name](2)
    _release()
    return Prepared(runs, {'passes': facts, **_versions()}, lambda most: _after(most, runs[job.passes[0]]))


def _model(job: Job) -> Any:
    """Return the network; torch.compile takes effect at its first call."""
    classes = CLASSES[job.kind]
    if job.kind == 'labels':
        model = getattr(torchvision.models, job.network)(num_classes=classes)
    elif job.kind == 'masks':
        make = getattr(torchvision.models.segmentation, job.network)
        model = make(weights=None, weights_backbone=None, num_classes=classes)
    else:
        sizes = {} if job.network.startswith('ssd') else {'min_size': job.size, 'max_size': job.size}
        make = getattr(torchvision.models.detection, job.network)
        model = make(weights=None, weights_backbone=None, num_classes=classes, **sizes)
    if COMPILED:
        parts = [model.backbone, model.head] if job.network.startswith('ssd') else [model]
        if job.network.startswith('retinanet'):
            parts = [model.backbone, model.head.classification_head, model.head.regression_head]
        for part in parts:
            part.compile()
    return model


def _loss(job: Job, model: Any, batch: dict[str, np.ndarray], images: torch.Tensor) -> Callable[[], torch.Tensor]:
    if job.kind == 'boxes':
        first = int(job.network.startswith('ssd'))  # after the background
        targets = [
            {'boxes': torch.from_numpy(b).to(DEVICE), 'labels': torch.from_numpy(x + first).long().to(DEVICE)}
            for b, x in zip(batch['boxes'], batch['box_labels'], strict=True)
        ]
        separate = list(images.contiguous())
        return lambda: sum(model(separate, targets).values())
    truth = torch.from_numpy(batch['mask' if job.kind == 'masks' else 'label']).long().to(DEVICE)
    if job.kind == 'masks':
        return lambda: torch.nn.functional.cross_entropy(model(images)['out'], truth)
    return lambda: torch.nn.functional.cross_entropy(model(images), truth)


def _timed(call: Callable[[], Any], model: Any = None, training: bool = False) -> Callable[[int], float]:
    def run(count: int) -> float:
        if model is not None and model.training != training:
            model.train(training)
        _wait()
        start = time.perf_counter()
        for _ in range(count):
            call()
        _wait()
        return time.perf_counter() - start

    return run


def _wait() -> None:
    if DEVICE == 'cuda':
        torch.cuda.synchronize()


def _release() -> None:
    """Give the memory back to the card until the job's turn."""
    if DEVICE == 'cuda':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _versions() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 256, 256), np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    found = (torch.from_numpy(a).to(DEVICE) @ torch.from_numpy(b).to(DEVICE)).cpu().numpy()
    error = np.abs(found - exact).max() / np.abs(exact).max()
    name = torch.cuda.get_device_name() if DEVICE == 'cuda' else 'cpu'
    version = f'torch {torch.__version__}, torchvision {torchvision.__version__}'
    return {'device': name, 'version': version, 'product error': float(error)}


def _after(most: int, run: Callable[[int], float]) -> dict:
    """Return the peak of memory, and the heaviest kernels of a pass."""
    found: dict[str, Any] = {}
    if DEVICE == 'cuda':
        found['peak_gigabytes'] = torch.cuda.max_memory_allocated() / 1e9
    if most and DEVICE == 'cuda':
        kinds = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=kinds) as profile:
            run(3)
        events = sorted(profile.key_averages(), key=lambda event: -event.device_time_total)
        found['kernels'] = [
            {'name': event.key[:100], 'ms': event.device_time_total / 3e3, 'count': event.count / 3}
            for event in events[:most]
        ]
        found['kernels_ms'] = sum(event.device_time_total for event in events) / 3e3
    return found


def _suppression() -> Prepared:
    runs, facts = {}, {}

    def add(name: str, call: Callable[[], Any]) -> None:
        def run(count: int) -> float:
            _wait()
            start = time.perf_counter()
            for _ in range(count):
                call()
                _wait()
            return time.perf_counter() - start

        start = time.perf_counter()
        run(1)
        runs[name], facts[name] = run, {'compile_s': time.perf_counter() - start}

    nms = torchvision.ops.nms
    for count in COUNTS:
        for name, side in (('sparse', 1000.0), ('dense', 200.0)):
            boxes, scores = (torch.from_numpy(x).to(DEVICE) for x in random_boxes(count, side))
            add(f'nms {name} {count}', lambda boxes=boxes, scores=scores: nms(boxes, scores, 0.5))
    for count in COUNTS:
        add(f'post-process {count}', _post_processing(maps(count, 1), 1))
    add(f'post-process {PHOTOS} x {COUNTS[-1]}', _post_processing(maps(COUNTS[-1], PHOTOS), PHOTOS))
    return Prepared(runs, {'passes': facts, **_versions()}, lambda most: {})


def _post_processing(arrays: dict[str, list[np.ndarray]], photos: int) -> Callable[[], Any]:
    """Return torchvision's own function on a head's outputs."""
    retinanet = importlib.import_module('torchvision.models.detection.retinanet').RetinaNet
    coder = importlib.import_module('torchvision.models.detection._utils').BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    settings = SimpleNamespace(
        score_thresh=0.05, topk_candidates=1000, nms_thresh=0.5, detections_per_img=300, box_coder=coder
    )
    tensors = {name: [torch.from_numpy(x).to(DEVICE) for x in found] for name, found in arrays.items()}
    outputs = {'cls_logits': tensors['logits'], 'bbox_regression': tensors['codes']}
    anchors, sizes = [tensors['anchors']] * photos, [(IMAGE, IMAGE)] * photos

    def call() -> Any:
        with torch.inference_mode():
            return retinanet.postprocess_detections(settings, outputs, anchors, sizes)

    return call
