// Shows only the parameters of the chosen verifier; without this script all of them are shown.
for (const choice of document.querySelectorAll("select[data-chooses-parameters]")) {
  const inside = choice.name.replace(/verifier$/, "parameters");
  const groups = [...document.querySelectorAll("[data-parameters-of]")].filter(
    (group) => group.dataset.parametersIn === inside,
  );
  const show = () => {
    for (const group of groups) group.hidden = group.dataset.parametersOf !== choice.value;
  };
  choice.addEventListener("change", show);
  show();
}
