/** The processes that train one run together, as one of them sees them. A process that trains alone has no group. */
import type { ServerPlace } from '../runtime/server.ts';

export interface ProcessGroup extends ServerPlace {
  /** 0 … size − 1. Rank 0 alone writes to the run directory and the terminal. */
  readonly rank: number;
  readonly size: number;
}
