/** Logits of a run, for checks that compare them with another program's. */
import { loadCheckpoint } from '#clm/checkpoint/checkpoint.js';
import { resolveCheckpoint } from '#clm/run/findCheckpoint.js';
import { parseResolvedConfig } from '#clm/config/load.js';
import { decode } from '#clm/model/decoder.js';
import { openSession } from '#clm/runtime/openSession.js';

/** The logits of a run's last checkpoint after each of the token ids. @param {string} run @param {number[]} tokenIds */
export async function logitsOf(run, tokenIds) {
  const checkpoint = await loadCheckpoint(await resolveCheckpoint(run, 'last'), { optimizer: false });
  const { model } = parseResolvedConfig(checkpoint.configText, 'config.yaml');
  const T = tokenIds.length;
  const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
  await session.addVariables(checkpoint.model);
  const program = session.program('logits', { inputs: { shape: [T], dtype: 'int32' } }, (feeds, variables) => {
    const parameters = Object.fromEntries(checkpoint.model.map(({ name }) => [name, variables.read(name)]));
    return { logits: decode(parameters, feeds.inputs, { model, batchSize: 1, length: T, dropout: null }) };
  });
  const { logits } = await program.run({ inputs: Int32Array.from(tokenIds) });
  session.close();
  return logits;
}

/** @param {number[]} values */
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
/** @param {number[]} actual @param {number[]} expected */
export const relativeDifference = (actual, expected) => {
  if (actual.length !== expected.length) throw new Error(`${actual.length} logits instead of ${expected.length}`);
  return largest(actual.map((value, i) => value - expected[i])) / largest(expected);
};
