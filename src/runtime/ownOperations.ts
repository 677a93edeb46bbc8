/** Whether clm's own operations are to be used. Loads nothing native, for the plan asks it too. */
import os from 'node:os';

/** Their threads are no more than these: on a machine of more cores, TensorFlow's own operations are no slower. */
const mostCores = 8;

/** On a CPU of this machine; on a GPU they never are. */
export const wantsOwnOperations = (): boolean =>
  process.env['CLM_FUSED_OPERATIONS'] !== '0' && os.availableParallelism() <= mostCores;
