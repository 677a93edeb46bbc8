/**
 * A program of somebody else's that uses clm: test/cli/scoring.test.ts compiles it against the package's exports and
 * runs it.
 */
import {
  complete,
  completeAll,
  ExpectedError,
  loadRun,
  score,
  stream,
  type Alternative,
  type Completion,
  type SettingsInput,
} from 'clm';

const [directory] = process.argv.slice(2);
const run = await loadRun(directory!, { batch: 2, weights: 'float32' });
const settings: SettingsInput = { maxTokens: 4, temperature: 0, logProbabilities: 1 };
const { completion, finishReason, alternatives }: Completion = await complete(run, 'the ', settings);
const likeliest: Alternative | undefined = alternatives?.[0]?.[0];

let streamed = '';
for await (const text of stream(run, 'the ', settings)) streamed += text;

async function* prompts() {
  yield 'the ';
  yield { prompt: 'cat', maxTokens: 2 };
}
const tokens: number[] = [];
for await (const each of completeAll(run, prompts(), { ...settings, samples: 2 })) tokens.push(each.tokens);

const { choices, best } = await score(run, { prompt: 'the ', choices: ['cat', 'sat'] });
const { logProbability } = await score(run, 'the cat');

// @ts-expect-error: a setting that is none is refused by the types, and by the program.
const refusal: unknown = await complete(run, 'the ', { maxToken: 4 }).catch((error: unknown) => error);
// @ts-expect-error: a score of a text has no choices.
void (await score(run, 'the cat')).choices;
run.close();

console.log(
  JSON.stringify({
    ...{ completion, finishReason, streamed, tokens, best, logProbability },
    choice: choices[best]?.text,
    likeliest: likeliest?.tokenId === undefined ? null : typeof likeliest.tokenId,
    refusal: refusal instanceof ExpectedError ? refusal.message : null,
  }),
);
