// Prints how many bytes a pass over the loss and its gradients, in chunks of ROWS rows, adds to this process at most. A
// process of its own, because what others have freed in it would not count.
//
//   node lossPeak.mjs N C V ROWS
import { readFileSync, writeFileSync } from 'node:fs';
import { summedLoss } from '#clm/model/loss.js';
import { openSession } from '#clm/runtime/openSession.js';
import { tensor, valueAndGrads } from '#clm/tfjs.js';

const [N = 0, C = 0, V = 0, rows = 0] = process.argv.slice(2).map(Number);
const session = openSession({ mode: 'recorded', precision: 'float32', device: 'cpu' });
const inputs = /** @type {const} */ ({
  hidden: { shape: [N, C], dtype: 'float32' },
  head: { shape: [V, C], dtype: 'float32' },
});
const program = session.program('loss', inputs, (feeds) => {
  const targets = tensor(
    Int32Array.from({ length: N }, (_, n) => (n * 29) % V),
    [N],
    'int32',
  );
  const lossMask = tensor(new Float32Array(N).fill(1));
  const { value, grads } = valueAndGrads((hidden, head) =>
    summedLoss(hidden, head, targets, lossMask, { isTrained: true, softCap: null, rows }),
  )([feeds.hidden, feeds.head]);
  const [dHidden, dHead] = /** @type {[typeof value, typeof value]} */ (grads);
  return { value, dHidden, dHead };
});
const values = { hidden: new Float32Array(N * C).fill(0.1), head: new Float32Array(V * C).fill(0.1) };
const mark = () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
writeFileSync('/proc/self/clear_refs', '5'); // sets the kernel's mark back to what is held now
const before = mark();
const { value } = await program.run(values);
console.log(JSON.stringify({ addedBytes: mark() - before, meanLoss: Number(value[0]) / N }));
process.exit(0);
