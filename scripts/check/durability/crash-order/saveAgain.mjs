// Saves the newest checkpoint of a run once more in its own place, as a run does that was resumed before a damaged one:
// node saveAgain.mjs RUN
import { newestValidCheckpoint, saveCheckpoint } from '../../../../dist/checkpoint/checkpoint.js';

const run = process.argv[2];
const { checkpoint } = await newestValidCheckpoint(run);
await saveCheckpoint(run, checkpoint, { keepLast: 2, keepBest: 1 });
