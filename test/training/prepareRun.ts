/** What `clm train` does before the session opens: reads the config, finds the run directory and prepares the run. */
import { findConfig, prepareTraining, type PreparedTraining } from '../../src/training/prepare.ts';

export const prepareRun = async (request: Parameters<typeof findConfig>[0]): Promise<PreparedTraining> =>
  prepareTraining(findConfig(request));
