// Round trips through the echo door, one at a time.

const TRIPS = 50;
const TIMEOUT_MS = 10_000;

/** Resolves to {mean, worst} in milliseconds. The clock of some browsers has ticks of 1 ms. */
export function measure(url) {
  return new Promise((resolve, reject) => {
    const times = [];
    let sentAt = 0;
    const socket = new WebSocket(url);
    const timer = setTimeout(() => socket.close(), TIMEOUT_MS);
    const send = () => {
      sentAt = performance.now();
      socket.send(`trip ${times.length}`);
    };
    socket.onopen = send;
    socket.onmessage = () => {
      times.push(performance.now() - sentAt);
      if (times.length < TRIPS) send();
      else socket.close(1000);
    };
    socket.onclose = () => {
      clearTimeout(timer);
      if (times.length < TRIPS) {
        reject(new Error(`${times.length} of ${TRIPS} came back`));
        return;
      }
      const sum = times.reduce((sum, time) => sum + time, 0);
      resolve({ mean: sum / TRIPS, worst: Math.max(...times) });
    };
  });
}

/** A time in words. */
export function milliseconds(time) {
  return time > 0 ? `${time.toFixed(1)} ms` : 'less than 1 ms';
}
