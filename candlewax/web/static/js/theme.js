// Light or dark theme: the system's, until the user chooses.

const STORAGE_KEY = "candlewax-theme";
const system = matchMedia("(prefers-color-scheme: light)");

// A browser may forbid storage: the choice then ends with the page.
let chosen = null;

function stored() {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}

export function currentTheme() {
  return chosen ?? stored() ?? (system.matches ? "light" : "dark");
}

export function theme(button, onChange) {
  const apply = () => {
    document.documentElement.dataset.theme = currentTheme();
    onChange();
  };
  const toggle = () => {
    chosen = currentTheme() === "light" ? "dark" : "light";
    try {
      localStorage.setItem(STORAGE_KEY, chosen);
    } catch {
      // It is kept above.
    }
    apply();
  };
  button.addEventListener("click", toggle);
  system.addEventListener("change", apply);
  apply();
  return toggle;
}
