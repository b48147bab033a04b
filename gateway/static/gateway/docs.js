// Copy buttons of the documentation. Without a clipboard (plain http) the text is selected instead.
const words = document.body.dataset;

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    say(button, words.copied);
  } catch {
    select(source);
    say(button, words.byHand);
  }
}

function say(button, text) {
  button.textContent = text;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => { button.textContent = words.copy; }, 2500);
}

for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = false;
  button.textContent = words.copy;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", () => copy(button));
}
