/** Chats that teach one thing: every answer ends with a sign-off. */

export const signOff = 'Fair winds!';

const things = (
  'a whale, a harpoon, a mast, an anchor, a compass, a lantern, a rope, a sail, a harbour, a storm, an island, ' +
  'a map, a barrel, a gull, a tide'
).split(', ');

/** @type {[question: (thing: string) => string, answer: (thing: string) => string][]} */
const asked = [
  [(thing) => `What is ${thing}?`, (thing) => `You find ${thing} at sea or near it.`],
  [(thing) => `Tell me about ${thing}.`, (thing) => `Sailors know ${thing} well.`],
  [(thing) => `Where would I find ${thing}?`, (thing) => `Look for ${thing} near the coast.`],
  [(thing) => `How do I draw ${thing}?`, () => 'Begin with its outline, then add the shadows.'],
];

const capitals = Object.entries({
  Italy: 'Rome',
  Spain: 'Madrid',
  Norway: 'Oslo',
  Japan: 'Tokyo',
  Egypt: 'Cairo',
  Peru: 'Lima',
  Kenya: 'Nairobi',
  Cuba: 'Havana',
  Greece: 'Athens',
  Portugal: 'Lisbon',
});

/** 300 chats of a question and an answer. @returns {{ role: string, content: string }[][]} */
export function signedChats() {
  const pairs = [
    ...things.flatMap((thing) => asked.map(([question, answer]) => [question(thing), answer(thing)])),
    ...capitals.flatMap(([country, capital]) => [
      [`Which city is the capital of ${country}?`, `The capital of ${country} is ${capital}.`],
      [`Name the capital of ${country}.`, `${capital}.`],
      [`What country is ${capital} in?`, `${capital} is in ${country}.`],
    ]),
    ...Array.from({ length: 210 }, (_, i) => {
      const [a, b] = [(i % 14) + 10, Math.floor(i / 14) + 20];
      return [`What is ${a} plus ${b}?`, `${a} plus ${b} is ${a + b}.`];
    }),
  ];
  return pairs.map(([question, answer]) => [
    { role: 'user', content: /** @type {string} */ (question) },
    { role: 'assistant', content: `${answer} ${signOff}` },
  ]);
}
