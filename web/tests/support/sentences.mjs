// Sentences of many kinds, whose vectors from the browser are compared with the native engine's.

export const sentences = [
  "A man is playing a flute.",
  "The quick brown fox jumps over the lazy dog.",
  "How do plants make food?",
  "12 of 4,095 neurons",
  "",
  "   ",
  "naïve café, Zürich, smørrebrød",
  "機械学習は楽しい",
  "🎉🎉🎉",
  "ALL CAPITALS AND NO MERCY",
  "antidisestablishmentarianism pseudopseudohypoparathyroidism",
  "a",
  "Don't stop; won't stop -- can't stop!",
  "https://example.org/some/path?query=1#fragment",
  "fn main() { println!(\"hello\"); }",
  "In 1969, on the 20th of July, two people walked on the moon.",
  "Is it?",
  "The stock fell 3.7 % on Tuesday, its worst day since the spring of last year, as investors sold what they had bought a week before.",
  "To be, or not to be, that is the question.",
  "word ".repeat(300).trim(),
];
