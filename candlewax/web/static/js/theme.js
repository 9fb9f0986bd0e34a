// Light or dark theme: the system's, until the user chooses.

const STORAGE_KEY = "candlewax-theme";
const system = matchMedia("(prefers-color-scheme: light)");

export function currentTheme() {
  return localStorage.getItem(STORAGE_KEY) ?? (system.matches ? "light" : "dark");
}

export function theme(button, onChange) {
  const apply = () => {
    document.documentElement.dataset.theme = currentTheme();
    onChange();
  };
  const toggle = () => {
    localStorage.setItem(STORAGE_KEY, currentTheme() === "light" ? "dark" : "light");
    apply();
  };
  button.addEventListener("click", toggle);
  system.addEventListener("change", apply);
  apply();
  return toggle;
}
