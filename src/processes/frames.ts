/** Messages over a connection between two processes of a group: one JSON value a line. */
import type { Socket } from 'node:net';

/** Before the other side has proved that it knows the secret, it may send this much. */
const mostUnprovenCharacters = 4096;

export interface Connection {
  readonly socket: Socket;
  /** Whether the other side knows the secret; until then its first line must be short. */
  isProven: boolean;
  send(message: unknown): void;
}

/** @param onMessage is called with every message; a line that is not JSON ends the connection */
export function connectionOf(socket: Socket, onMessage: (message: never, from: Connection) => void): Connection {
  const connection: Connection = {
    socket,
    isProven: false,
    send: (message) => void (socket.writable && socket.write(`${JSON.stringify(message)}\n`)),
  };
  let text = '';
  socket.setEncoding('utf8').setNoDelay(true);
  socket.on('error', () => {}); // 'close' follows
  socket.on('data', (part: string) => {
    text += part;
    if (!connection.isProven && text.length > mostUnprovenCharacters) return void socket.destroy();
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      try {
        onMessage(JSON.parse(line) as never, connection);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        return void socket.destroy();
      }
    }
  });
  return connection;
}
