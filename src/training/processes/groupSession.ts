/** What the processes of a group do together before each opens its session. */
import { shareCoresOf } from '../../processes/cores.ts';
import type { ProcessGroup } from '../../processes/group.ts';
import { kernelsFile, reserveServerPort, type ServerPlace } from '../../runtime/server.ts';
import { loadTensorFlow, operationsOf, type DeviceChoice } from '../../runtime/tensorflow.ts';
import { compareSessions } from './sameRun.ts';

/**
 * Shares the cores, loads TensorFlow, and agrees on the places of its servers.
 * @throws environmentFailure if the processes would not compute alike, or the servers cannot be kept to one address
 */
export async function prepareServers(group: ProcessGroup, device: DeviceChoice): Promise<ServerPlace> {
  await shareCoresOf(group);
  const { version, kernels } = loadTensorFlow(device);
  await compareSessions(group, { tensorflow: version, operations: operationsOf({ kernels }) });
  group.countBytes(kernelsFile());
  return group.openServers(reserveServerPort);
}
