// The voices, from top to bottom as drummers write them, with their colours.
export const VOICES = [
  ["crash", "Crash", "#b39bff"], ["splash", "Splash", "#b39bff"], ["china", "China", "#b39bff"],
  ["ride_bell", "Bell", "#6cc7ff"], ["ride", "Ride", "#6cc7ff"],
  ["open_hat", "Open hat", "#5ee08a"], ["closed_hat", "Hat", "#38c6c6"], ["pedal_hat", "Pedal hat", "#2f9d9d"],
  ["cowbell", "Cowbell", "#d9c36a"], ["tambourine", "Tambourine", "#d9c36a"], ["shaker", "Shaker", "#d9c36a"], ["percussion", "Percussion", "#d9c36a"],
  ["high_tom", "High tom", "#d69a72"], ["mid_tom", "Mid tom", "#d69a72"], ["low_tom", "Low tom", "#d69a72"],
  ["clap", "Clap", "#ffcf7a"], ["side_stick", "Stick", "#ffcf7a"], ["snare", "Snare", "#ffb454"], ["kick", "Kick", "#ff7a70"],
];
export const COLOUR = Object.fromEntries(VOICES.map(([name, , colour]) => [name, colour]));
export const TITLE = Object.fromEntries(VOICES.map(([name, title]) => [name, title]));
// What shares a row where there is little room; the colours tell its voices apart.
const FAMILY_OF = {
  cymbal: ["crash", "splash", "china"], ride: ["ride_bell", "ride"], hat: ["open_hat", "closed_hat", "pedal_hat"],
  perc: ["cowbell", "tambourine", "shaker", "percussion"], toms: ["high_tom", "mid_tom", "low_tom"],
  snares: ["clap", "side_stick", "snare"], kick: ["kick"],
};
export const FAMILIES = [["cymbal", "Cymbal"], ["ride", "Ride"], ["hat", "Hat"], ["perc", "Perc."], ["toms", "Toms"], ["snares", "Snare"], ["kick", "Kick"]];
export const FAMILY = Object.fromEntries(Object.entries(FAMILY_OF).flatMap(([family, voices]) => voices.map((voice) => [voice, family])));
Object.assign(COLOUR, Object.fromEntries(Object.entries(FAMILY_OF).map(([family, voices]) => [family, COLOUR[voices.at(-1)]])));
