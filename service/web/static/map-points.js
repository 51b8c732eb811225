// The points of a map: from bytes to planes, and which of them is nearest to a place.
"use strict";
const RosettaMap = {};

// As GET /v1/maps/{id}/points has them: one plane after the other, little-endian.
RosettaMap.PLANES = [
  ["x", Float32Array], ["y", Float32Array], ["unit", Int32Array], ["concept", Int32Array],
  ["model", Uint16Array], ["layer", Uint16Array],
];
RosettaMap.POINT_BYTES = 20;

// The planes by name, all shuffled alike: later dots cover earlier ones, and no model shall lie on top of the others.
RosettaMap.decode = (buffer) => {
  const count = buffer.byteLength / RosettaMap.POINT_BYTES;
  if (!Number.isInteger(count)) throw new Error(`${buffer.byteLength} bytes are no whole number of points`);
  const order = shuffled(count);
  const points = { count };
  let start = 0;
  for (const [name, Plane] of RosettaMap.PLANES) {
    const sent = new Plane(buffer, start, count);
    const plane = new Plane(count);
    for (let place = 0; place < count; place += 1) plane[place] = sent[order[place]];
    points[name] = plane;
    start += sent.byteLength;
  }
  return points;

  function shuffled(length) {
    const places = Uint32Array.from({ length }, (_, place) => place);
    let state = 1;
    for (let last = length - 1; last > 0; last -= 1) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' generator: the same each time
      const other = Math.floor((state / 2 ** 32) * (last + 1));
      [places[last], places[other]] = [places[other], places[last]];
    }
    return places;
  }
};

// Where the points lie.
RosettaMap.bounds = ({ x, y, count }) => {
  const found = { left: 0, bottom: 0, right: 0, top: 0 };
  if (count) Object.assign(found, { left: x[0], bottom: y[0], right: x[0], top: y[0] });
  for (let place = 1; place < count; place += 1) {
    found.left = Math.min(found.left, x[place]);
    found.right = Math.max(found.right, x[place]);
    found.bottom = Math.min(found.bottom, y[place]);
    found.top = Math.max(found.top, y[place]);
  }
  return found;
};

// Cells of a grid over the points, each with the points in it: a look-up reads those near a place alone.
RosettaMap.Grid = class {
  constructor(points, bounds) {
    const { left, bottom, right, top } = bounds;
    const A_CELL = 4; // points, at the mean
    this.points = points;
    this.left = left;
    this.bottom = bottom;
    this.size = Math.max(Math.sqrt(((right - left) * (top - bottom) * A_CELL) / Math.max(points.count, 1)),
      (right - left) / 1000, (top - bottom) / 1000, 1e-6);
    this.columns = Math.floor((right - left) / this.size) + 1;
    this.rows = Math.floor((top - bottom) / this.size) + 1;
    const cell = new Uint32Array(points.count);
    this.starts = new Uint32Array(this.columns * this.rows + 1);
    for (let place = 0; place < points.count; place += 1) {
      cell[place] = this.row(points.y[place]) * this.columns + this.column(points.x[place]);
      this.starts[cell[place] + 1] += 1;
    }
    for (let index = 1; index < this.starts.length; index += 1) this.starts[index] += this.starts[index - 1];
    const next = this.starts.slice();
    this.members = new Uint32Array(points.count);
    for (let place = 0; place < points.count; place += 1) this.members[next[cell[place]]++] = place;
  }

  column(x) { return Math.min(Math.max(Math.floor((x - this.left) / this.size), 0), this.columns - 1); }

  row(y) { return Math.min(Math.max(Math.floor((y - this.bottom) / this.size), 0), this.rows - 1); }

  // The nearest point within a distance for which `counts(place)` holds; -1: there is none.
  nearest(x, y, distance, counts) {
    let found = -1;
    let least = distance * distance;
    const [first, last] = [this.column(x - distance), this.column(x + distance)];
    for (let row = this.row(y - distance); row <= this.row(y + distance); row += 1) {
      const [begin, end] = [this.starts[row * this.columns + first], this.starts[row * this.columns + last + 1]];
      for (let index = begin; index < end; index += 1) { // the cells of a row are one run of members
        const place = this.members[index];
        const [across, up] = [this.points.x[place] - x, this.points.y[place] - y];
        const square = across * across + up * up;
        if (square <= least && counts(place)) {
          found = place;
          least = square;
        }
      }
    }
    return found;
  }
};
