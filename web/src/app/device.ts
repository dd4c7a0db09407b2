import type { Account } from "./phone";

// Which line this device is, and with what it registers. It stays on the device, beyond
// the tab; the exchange knows no other copy of the password, and takes it back when the
// line is verified elsewhere.

export interface Device extends Account {
  advisor: string;
  line: string;
  address: string; // as the host shows it: another one is another device's
}

const name = "parley.device";
const thePhone = "parley.phone";

export function device(advisor: string): Device | null {
  const text = localStorage.getItem(name);
  const known = text ? (JSON.parse(text) as Device) : null;
  return known?.advisor === advisor ? known : null;
}

export function keepDevice(d: Device) {
  localStorage.setItem(name, JSON.stringify(d));
}

/** Resolves when this window is the one that is the phone; taken is called when another
 * one takes that over. Two that register as one would take each other's calls. */
export function beThePhone(steal: boolean, taken: () => void): Promise<boolean> {
  return new Promise((resolve) => {
    const forever = new Promise<void>(() => {});
    navigator.locks
      .request(thePhone, steal ? { steal } : { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock ? forever : undefined;
      })
      .catch(taken);
  });
}

/** Whether a window of this browser is the phone. */
export async function isThePhone(): Promise<boolean> {
  return (await navigator.locks.query()).held?.some((lock) => lock.name === thePhone) ?? false;
}
