/** Logits of a run, for checks that compare them with another program's. */
import { decode } from '#clm/model/decoder.js';
import { loadModel } from '#clm/sampling/loadModel.js';

/** The logits of a run's last checkpoint after each of the token ids. @param {string} run @param {number[]} tokenIds */
export async function logitsOf(run, tokenIds) {
  const { config, table, session } = await loadModel(run, { checkpoint: 'last', device: 'cpu', precision: 'float32' });
  const { model } = config;
  const T = tokenIds.length;
  const program = session.program('logits', { inputs: { shape: [T], dtype: 'int32' } }, (feeds, variables) => {
    const parameters = Object.fromEntries(table.map(({ name }) => [name, variables.read(name)]));
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
