// Justified rows: pictures keep their proportions, and each row fills the width. Pure arithmetic.

const [SLIMMEST, WIDEST] = [0.5, 2.6]; // proportions beyond these are cropped in the grid

export const ratio = (tile) =>
  tile.width && tile.height ? Math.min(WIDEST, Math.max(SLIMMEST, tile.width / tile.height)) : 1;

// `sections`: [{from: index of its first tile, title, kind}]. Gives boxes {x, y, w, h, row}, heads {y, h, title, kind}
// and the height of all. `open`: more tiles will follow, so the last row is not yet its final one.
export function justify(tiles, sections, { width, target, gap, head }) {
  const boxes = new Array(tiles.length);
  const heads = [];
  let y = 0;
  let row = 0;
  const starts = sections.length ? sections : [{ from: 0, title: null }];
  starts.forEach((section, place) => {
    if (section.title) {
      if (y) y += 18;
      heads.push({ y, h: head, title: section.title, kind: section.kind });
      y += head;
    }
    const end = starts[place + 1]?.from ?? tiles.length;
    let first = section.from;
    while (first < end) {
      let [last, sum] = [first, 0];
      let height = target;
      let full = false;
      while (last < end && !full) {
        sum += ratio(tiles[last]);
        last += 1;
        height = (width - gap * (last - first - 1)) / sum;
        full = height <= target;
      }
      if (full && last - first > 1) { // would one picture less be nearer to the height that was asked for?
        const fewer = sum - ratio(tiles[last - 1]);
        const taller = (width - gap * (last - first - 2)) / fewer;
        if (taller - target < target - height) {
          last -= 1;
          height = taller;
        }
      }
      if (!full) height = Math.min(height, target * 1.05);
      let x = 0;
      for (let i = first; i < last; i += 1) {
        const w = ratio(tiles[i]) * height;
        boxes[i] = { x, y, w, h: height, row };
        x += w + gap;
      }
      y += height + gap;
      row += 1;
      first = last;
    }
  });
  return { boxes, heads, height: Math.max(0, y - gap) };
}

// The tile above (-1) or below (1) of tile `i`: the one of the next row whose middle is nearest.
export function beside(boxes, i, step) {
  const here = boxes[i];
  const middle = here.x + here.w / 2;
  let [best, distance] = [i, Infinity];
  for (let j = i + step; j >= 0 && j < boxes.length; j += step) {
    if (boxes[j].row === here.row) continue;
    if (Math.abs(boxes[j].row - here.row) > 1) break;
    const far = Math.abs(boxes[j].x + boxes[j].w / 2 - middle);
    if (far < distance) [best, distance] = [j, far];
  }
  return best;
}
