// Light or dark: as the system has it, until somebody says otherwise.

const KEPT = "candlewax-theme";
const system = matchMedia("(prefers-color-scheme: light)");

function chosen() {
  return localStorage.getItem(KEPT) ?? (system.matches ? "light" : "dark");
}

export function theme(button, onChange) {
  const apply = () => {
    document.documentElement.dataset.theme = chosen();
    onChange();
  };
  const turn = () => {
    localStorage.setItem(KEPT, chosen() === "light" ? "dark" : "light");
    apply();
  };
  button.addEventListener("click", turn);
  system.addEventListener("change", apply);
  apply();
  return turn;
}
