// Drawing a map: by WebGL where a graphics card does it, else pixel by pixel.
"use strict";

// A drawing has: `points(x, y)` once; `colours(rgba)`, 4 bytes a point, alpha 0 for none; `raised(places)`, those drawn
// larger and last; `draw(view, radius)`. `view`: the map's (x, y) in the middle, pixels of the canvas a unit.
RosettaMap.drawing = (canvas) => (hasCard() && RosettaMap.webgl(canvas)) || RosettaMap.pixels(canvas);

// WebGL without a graphics card is slower than writing the pixels: a frame is drawn by the processor, and then read back.
function hasCard() {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!gl) return false;
  const named = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(named ? named.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

RosettaMap.webgl = (canvas) => {
  const VERTEX = `#version 300 es
    in float x, y;
    in vec4 colour;
    uniform vec4 place;
    uniform float size;
    out vec4 tint;
    void main() {
      gl_Position = colour.a == 0.0 ? vec4(2, 2, 2, 1) : vec4(x * place.x + place.z, y * place.y + place.w, 0, 1);
      gl_PointSize = size;
      tint = vec4(colour.rgb * colour.a, colour.a);
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec4 tint;
    uniform float size;
    out vec4 pixel;
    void main() {
      pixel = tint * clamp(0.5 * size + 0.25 - length(gl_PointCoord - 0.5) * size, 0.0, 1.0);
    }`;
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false, failIfMajorPerformanceCaveat: true });
  if (!gl) return null;
  const kept = { x: null, y: null, colour: null, raised: null };
  let program = null;
  let buffers = {};

  function build() {
    buffers = {};
    program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const name of ["x", "y", "colour"]) if (kept[name]) fill(name);
    if (kept.raised) index();
  }

  function fill(name) {
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name] ||= gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, kept[name], gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at);
    if (name === "colour") gl.vertexAttribPointer(at, 4, gl.UNSIGNED_BYTE, true, 0, 0);
    else gl.vertexAttribPointer(at, 1, gl.FLOAT, false, 0, 0);
  }

  function index() {
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffers.raised ||= gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, kept.raised, gl.STATIC_DRAW);
  }

  build();
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    build();
    canvas.dispatchEvent(new Event("redraw"));
  });
  return {
    kind: "webgl",
    points(x, y) { Object.assign(kept, { x, y }); fill("x"); fill("y"); },
    colours(rgba) { kept.colour = rgba; fill("colour"); },
    raised(places) { kept.raised = places; index(); },
    draw(view, radius) {
      const [across, up] = [(2 * view.scale) / canvas.width, (2 * view.scale) / canvas.height];
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform4f(gl.getUniformLocation(program, "place"), across, up, -view.x * across, -view.y * up);
      const size = gl.getUniformLocation(program, "size");
      gl.uniform1f(size, 2 * radius);
      gl.drawArrays(gl.POINTS, 0, kept.x.length);
      if (!kept.raised.length) return;
      gl.uniform1f(size, 2 * (1.4 * radius + 2));
      gl.drawElements(gl.POINTS, kept.raised.length, gl.UNSIGNED_INT, 0);
    },
  };
};

// Discs written into the canvas' pixels: a hundred thousand take some milliseconds, as no call is made for any of them.
RosettaMap.pixels = (canvas) => {
  const context = canvas.getContext("2d");
  const kept = {};
  let image = null;
  let pixels = null;

  // The runs of a disc: a row of pixels each, from -half to half.
  function disc(radius) {
    const runs = [];
    for (let down = -Math.floor(radius); down <= radius; down += 1) {
      runs.push([down, Math.floor(Math.sqrt(radius * radius - down * down))]);
    }
    return runs;
  }

  function dots(view, radius, count, placeOf) {
    const { width, height } = canvas;
    const { x, y, words } = kept;
    const runs = disc(Math.max(radius, 0.5));
    const reach = Math.ceil(radius);
    const [left, top] = [width / 2 - view.x * view.scale, height / 2 + view.y * view.scale];
    for (let index = 0; index < count; index += 1) {
      const place = placeOf ? placeOf[index] : index;
      const word = words[place];
      if (word < 0x1000000) continue; // alpha 0
      const column = Math.round(left + x[place] * view.scale);
      const row = Math.round(top - y[place] * view.scale);
      if (column < -reach || row < -reach || column >= width + reach || row >= height + reach) continue;
      for (const [down, half] of runs) {
        const line = row + down;
        if (line < 0 || line >= height) continue;
        const end = Math.min(column + half, width - 1);
        for (let at = Math.max(column - half, 0); at <= end; at += 1) pixels[line * width + at] = word;
      }
    }
  }

  return {
    kind: "pixels",
    points(x, y) { Object.assign(kept, { x, y }); },
    colours(rgba) { kept.words = new Uint32Array(rgba.buffer); },
    raised(places) { kept.places = places; },
    draw(view, radius) {
      if (!image || image.width !== canvas.width || image.height !== canvas.height) {
        image = context.createImageData(canvas.width, canvas.height);
        pixels = new Uint32Array(image.data.buffer);
      }
      pixels.fill(0);
      dots(view, radius, kept.x.length, null);
      dots(view, 1.4 * radius + 2, kept.places.length, kept.places);
      context.putImageData(image, 0, 0);
    },
  };
};
