// What the clients share: the test prepares sessions and reads results as JSON.
import { readFileSync, writeSync } from "node:fs";

export const prepared = JSON.parse(readFileSync(0, "utf8"));

// A result, or what the library says of the failure
export async function told(promise) {
  try {
    return { value: (await promise) ?? null };
  } catch (failure) {
    const { name, message, code, error, error_description, status } = failure;
    const schemes = Array.isArray(failure.cause) ? failure.cause.map(({ scheme }) => scheme) : undefined;
    return { failure: { name, message, code, error, error_description, status, schemes } };
  }
}

export function done(results) {
  writeSync(1, JSON.stringify(results));
}
