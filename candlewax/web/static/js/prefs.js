// Choices of the user, kept in the browser. Whatever is stored there is checked before use.

const STORAGE_KEY = "candlewax-choices";

const DEFAULTS = { isLocal: false, isLog: false, venues: "", overlays: [], favourites: [] };

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORAGE_KEY)) ?? {};
  } catch {
    return {};
  }
}

function isLike(value, example) {
  if (!Array.isArray(example)) return typeof value === typeof example;
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

export const prefs = Object.fromEntries(Object.entries(DEFAULTS).map(([name, example]) => {
  const value = stored()[name];
  return [name, isLike(value, example) ? value : example];
}));

// Applies and stores a change. The other tabs' later choices of other kinds are kept.
export function choosePrefs(change) {
  Object.assign(prefs, change);
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify({ ...stored(), ...change }));
  } catch {
    // A browser may forbid storage: the choice then ends with the page.
  }
}
