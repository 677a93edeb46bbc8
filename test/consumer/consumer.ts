/**
 * A program of somebody else's that uses clm: test/api/consumer.test.ts compiles it against the package's exports and
 * runs it.
 */
import {
  complete,
  completeAll,
  ExpectedError,
  loadRun,
  openRun,
  score,
  stream,
  train,
  type Alternative,
  type Completion,
  type ConfigInput,
  type Fact,
  type SettingsInput,
  type TrainingResult,
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

const config: ConfigInput = {
  name: 'typed',
  corpus: { sources: [{ path: 'text.txt' }] },
  model: { layers: 1, heads: 2, width: 12, contextLength: 16 },
  training: { microBatchSize: 4, steps: 30 },
};
const stopping = new AbortController();
const onFact = (fact: Fact): void => {
  if (fact.kind === 'step' && fact.step === 2) stopping.abort();
};
const { state, step }: TrainingResult = await train(config, { signal: stopping.signal, onFact });
const losses: number[] = [];
for (const record of (await openRun('runs/typed')).metrics()) if (record.kind === 'step') losses.push(record.loss);
// @ts-expect-error: a config key that is none
const wrong: ConfigInput = { corpus: { source: [] } };
// @ts-expect-error: an option that is none
void train(wrong, { runDirectory: 'x' }).catch(() => undefined);

console.log(
  JSON.stringify({
    ...{ completion, finishReason, streamed, tokens, best, logProbability },
    choice: choices[best]?.text,
    likeliest: likeliest?.tokenId === undefined ? null : typeof likeliest.tokenId,
    stopped: `${state} after ${step}`,
    losses: losses.length,
    refusal: refusal instanceof ExpectedError ? refusal.message : null,
  }),
);
