// A program that trains and uses a model, and reports what it saw: test/api/consumer.test.ts runs it.
const listeners = () =>
  Object.fromEntries(
    ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'uncaughtException'].map((name) => [name, process.listenerCount(name)]),
  );
const before = listeners();
const { complete, completeAll, loadRun, score, stream, train } = await import('clm');
const imported = listeners();

const trained = await train({
  name: 'tiny',
  corpus: { sources: [{ path: 'text.txt' }], validation: { tail: 0.3 } },
  model: { layers: 1, heads: 2, width: 12, contextLength: 32 },
  training: { microBatchSize: 4, steps: 30 },
  optimizer: { learningRate: 1e-2 },
  schedule: { warmupSteps: 2 },
  samples: { everySteps: null },
});
const run = await loadRun('runs/tiny', { batch: 2 });
const settings = { temperature: 1, maxTokens: 8, seed: 3 };
const one = await complete(run, 'the ', settings);
let streamed = '';
for await (const text of stream(run, 'the ', settings)) streamed += text;
const many = [];
const prompts = ['the ', { prompt: 'cat', maxTokens: 2 }];
for await (const completion of completeAll(run, prompts, { ...settings, samples: 2 })) many.push(completion);
const same = [];
for await (const { seed } of completeAll(run, prompts, { ...settings, sameSeed: true })) same.push(seed);
const text = await score(run, 'the cat');
const question = await score(run, { prompt: 'the cat sat on the', choices: [' ttt', ' mat'] });
const refused = await complete(run, 'x').catch(({ name, message, exitCode }) => ({ name, message, exitCode }));
run.close();

const after = listeners();
const exitCode = process.exitCode ?? null;
console.log(
  JSON.stringify({ before, imported, after, exitCode, trained, one, streamed, many, same, text, question, refused }),
);
export {};
