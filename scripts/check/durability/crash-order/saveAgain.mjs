/**
 * Saves the newest checkpoint of a run once more in its own place, as a run does that was resumed before a damaged
 * one.
 *
 *   node saveAgain.mjs RUN
 */
import { newestValidCheckpoint, saveCheckpoint } from '#clm/checkpoint/checkpoint.js';

const run = process.argv[2];
const { checkpoint } = await newestValidCheckpoint(run);
if (checkpoint === undefined) throw new Error(`${run} has no valid checkpoint`);
await saveCheckpoint(run, checkpoint, { keepLast: 2, keepBest: 1 });
