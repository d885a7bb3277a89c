"""Makes the pictures of the notebooks' first screens, and the overview of the first page.

    .venv/bin/python -m docs.notebook_pictures [--idle] [01 04 ...]

Runs each notebook of `colab/` in full, on a CPU in some minutes, and keeps one of the figures that it displays, made
smaller, as `docs/pictures/NAME.png`. `docs/notebook_times.json` gets the machine and the CPU time; and with `--idle`,
where nothing else runs meanwhile, how long it took. It prints what the cells print, to compare a notebook's text with.
"""

import base64
import io
import os
import re
import resource
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from jaxcv.files import read_json, write_json

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / 'docs' / 'pictures'
TIMES = ROOT / 'docs' / 'notebook_times.json'
FIGURES = {'01': -1, '02': 2, '03': -1, '04': 3, '05': 2, '05b': 3, '06': 2, '07': 0, '08': 2}
"""Which of the figures of a notebook, in their order, is its picture."""
WIDTH = 900
HEIGHT = 498  # two rows of the scenes and their masks


def main(arguments: list[str]) -> None:
    """Run the chosen notebooks, or all of them."""
    notebooks = {path.stem.partition('_')[0]: path for path in sorted((ROOT / 'colab').glob('*.ipynb'))}
    chosen = [argument for argument in arguments if argument != '--idle'] or list(notebooks)
    if not set(chosen) <= set(notebooks):
        sys.exit(f'{__doc__}\nThe notebooks are {", ".join(notebooks)}; these were named: {", ".join(chosen)}.')
    for number in chosen:
        path = notebooks[number]
        notebook = nbformat.read(path, as_version=4)
        start, used = time.monotonic(), cpu_seconds()
        NotebookClient(notebook, timeout=3600, resources={'metadata': {'path': str(ROOT)}}).execute()
        took = {'machine': machine(), 'cpu_seconds': round(cpu_seconds() - used)}
        if '--idle' in arguments:
            took['seconds'] = round(time.monotonic() - start)
        print(f'{path.name}: {took}')
        print(printed(notebook))
        write_json(TIMES, {**(read_json(TIMES) if TIMES.exists() else {}), path.stem: took})
        small(figures(notebook)[FIGURES[number]]).save(PICTURES / f'{path.stem}.png', optimize=True)
    overview().save(PICTURES / 'overview.png', optimize=True)


def machine() -> str:
    """The cores and the processor, as Linux names it."""
    found = re.search(r'^model name\s*: (.+)$', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    return f'{os.cpu_count()} cores of {found[1] if found else "an unknown processor"}'


def cpu_seconds() -> float:
    """The CPU time of the processes that have ended, such as the kernels of notebooks."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures(notebook) -> list[Image.Image]:
    """The pictures that a notebook displays, in their order."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    encoded = [output['data']['image/png'] for output in outputs if 'image/png' in output.get('data', {})]
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded]


def printed(notebook) -> str:
    """The lines that its cells print; of those that are written over one another the last."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    text = '\n'.join(output['text'].strip() for output in outputs if output.get('name') == 'stdout')
    return '\n'.join(line.rstrip().rpartition('\r')[2] for line in text.split('\n'))


def small(picture: Image.Image) -> Image.Image:
    """A picture of at most WIDTH columns, its first HEIGHT rows, and 256 colours."""
    picture = resized(picture, min(picture.width, WIDTH))
    return with_palette(picture.crop((0, 0, picture.width, min(picture.height, HEIGHT))))


def with_palette(picture: Image.Image) -> Image.Image:
    """A picture in 256 colours, which keep the hues of thin lines; dots of two of them stand for a colour between."""
    palette = picture.quantize(256, method=Image.Quantize.FASTOCTREE)
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def resized(picture: Image.Image, width: int) -> Image.Image:
    """A picture of another width."""
    return picture.convert('RGB').resize(
        (width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS
    )


def overview() -> Image.Image:
    """The activation maps; below them the scenes and depth, and beside these the boxes and faces."""
    gap, half = 10, WIDTH // 2 - 10
    wide = part('03', WIDTH)
    columns = {0: ('04', '07'), WIDTH - half: ('05', '06')}
    placed, heights = [(wide, 0, 0)], []
    for left, numbers in columns.items():
        top = wide.height + gap
        for picture in (part(number, half) for number in numbers):
            placed.append((picture, left, top))
            top += picture.height + gap
        heights.append(top - gap)
    whole = Image.new('RGB', (WIDTH, max(heights)), 'white')
    for picture, left, top in placed:
        whole.paste(picture, (left, top))
    return with_palette(whole)


def part(number: str, width: int) -> Image.Image:
    """The picture of a notebook, at a width."""
    return resized(Image.open(next(PICTURES.glob(f'{number}_*.png'))), width)


if __name__ == '__main__':
    main(sys.argv[1:])
