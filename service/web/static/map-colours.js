// The colours of a map's points: by model, by layer or by concept, as the style sheet has them in light and in dark.
"use strict";

// `rgba(shown, raised)`: 4 bytes a point, alpha 0 where the model is not shown, little where others stand out.
// `ofConcepts()`: the points whose concept has a colour of its own.
RosettaMap.colours = (points, about) => {
  const FADED = 45; // alpha of the others, when some stand out
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => {
    const value = Number.parseInt(style.getPropertyValue(name).trim().slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  };
  const palette = Array.from({ length: 8 }, (_, place) => colour(`--m${place}`));
  const ramp = Array.from({ length: 6 }, (_, place) => colour(`--d${place}`));
  const [rest, none] = [colour("--rest"), colour("--none")];
  const named = new Map(about.concepts.filter((one) => one.place !== null).map((one) => [one.id, palette[one.place]]));

  function along(share) {
    const at = share * (ramp.length - 1);
    const low = Math.min(Math.floor(at), ramp.length - 2);
    return ramp[low].map((part, channel) => Math.round(part + (ramp[low + 1][channel] - part) * (at - low)));
  }

  // Of each model, the colours of its layers from the first to the last.
  const depths = about.models.map(({ layers }) => layers.map((_, place) => along(place / Math.max(layers.length - 1, 1))));
  const tint = {
    model: (place) => palette[points.model[place] % palette.length],
    layer: (place) => depths[points.model[place]][points.layer[place]],
    concept: (place) => (points.concept[place] < 0 ? none : named.get(points.concept[place]) || rest),
  }[about.colour];

  return {
    rgba(shown, raised) {
      const stands = new Set(raised);
      const bytes = new Uint8Array(4 * points.count);
      for (let place = 0; place < points.count; place += 1) {
        if (!shown[points.model[place]]) continue;
        const [red, green, blue] = tint(place);
        bytes[4 * place] = red;
        bytes[4 * place + 1] = green;
        bytes[4 * place + 2] = blue;
        bytes[4 * place + 3] = raised.length && !stands.has(place) ? FADED : 255;
      }
      return bytes;
    },
    ofConcepts: () => Uint32Array.from(points.unit.keys()).filter((place) => named.has(points.concept[place])),
  };
};
