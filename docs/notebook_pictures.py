"""Makes the pictures of the notebooks' first screens, and the overview of the first page.

    .venv/bin/python -m docs.notebook_pictures [01 04 ...]

Runs each notebook of `colab/` in full, on a CPU in some minutes, and keeps one of the figures that it displays, made
smaller, as `docs/pictures/NAME.png`; prints how long it took.
"""

import base64
import io
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / 'docs' / 'pictures'
FIGURES = {'01': -1, '02': 2, '03': -1, '04': 2, '05': 6, '06': 2, '07': -1, '08': -1}
"""Which of the figures of a notebook, in their order, is its picture."""
OVERVIEW = ('03', '04', '05', '07')
WIDTH = 900


def main(chosen: list[str]) -> None:
    """Run the chosen notebooks, or all of them."""
    for path in sorted((ROOT / 'colab').glob('*.ipynb')):
        number = path.stem[:2]
        if chosen and number not in chosen:
            continue
        notebook = nbformat.read(path, as_version=4)
        start = time.monotonic()
        NotebookClient(notebook, timeout=3600, resources={'metadata': {'path': str(ROOT)}}).execute()
        print(f'{path.name}: {time.monotonic() - start:.0f} s')
        small(figures(notebook)[FIGURES[number]]).save(PICTURES / f'{path.stem}.png', optimize=True)
    overview().save(PICTURES / 'overview.png', optimize=True)


def figures(notebook) -> list[Image.Image]:
    """The pictures that a notebook displays, in their order."""
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    encoded = [output['data']['image/png'] for output in outputs if 'image/png' in output.get('data', {})]
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded]


def small(picture: Image.Image) -> Image.Image:
    """A picture of at most WIDTH columns and 128 colours."""
    picture = picture.convert('RGB')
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    return picture.quantize(128)


def overview() -> Image.Image:
    """Four of the pictures, two beside two."""
    width, gap = WIDTH // 2 - 10, 20
    rows = []
    for pair in (OVERVIEW[:2], OVERVIEW[2:]):
        pictures = [Image.open(next(PICTURES.glob(f'{number}_*.png'))).convert('RGB') for number in pair]
        rows.append([x.resize((width, round(x.height * width / x.width)), Image.Resampling.LANCZOS) for x in pictures])
    heights = [max(picture.height for picture in row) for row in rows]
    whole = Image.new('RGB', (WIDTH, sum(heights) + gap), 'white')
    for top, height, row in zip((0, heights[0] + gap), heights, rows, strict=True):
        for left, picture in zip((0, width + gap), row, strict=True):
            whole.paste(picture, (left, top + (height - picture.height) // 2))
    return whole.quantize(192)


if __name__ == '__main__':
    main(sys.argv[1:])
