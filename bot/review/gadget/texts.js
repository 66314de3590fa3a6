/* What the script says, in four languages. Neutral on purpose: a verdict is advice. */
( function ( review ) {
	'use strict';

	const LANGUAGES = [ 'en', 'de', 'fr', 'es' ];
	const TEXTS = {
		'nsfw-delete': [ 'Explicit, consider deletion', 'Explizit, Löschung erwägen', 'Explicite, suppression à envisager', 'Explícito, considerar el borrado' ],
		'nsfw-keep': [ 'Explicit, in scope', 'Explizit, im Projektrahmen', 'Explicite, dans le périmètre', 'Explícito, dentro del alcance' ],
		sfw: [ 'Not explicit', 'Nicht explizit', 'Non explicite', 'No explícito' ],
		unsure: [ 'Unsure', 'Unsicher', 'Incertain', 'Dudoso' ],
		'': [ 'open', 'offen', 'ouvert', 'abierto' ],
		comment: [ 'Comment', 'Kommentar', 'Commentaire', 'Comentario' ],
		saveComment: [ 'Save comment', 'Kommentar speichern', 'Enregistrer le commentaire', 'Guardar comentario' ],
		undo: [ 'Undo', 'Rückgängig', 'Annuler', 'Deshacer' ],
		preview: [ 'Preview', 'Vorschau', 'Aperçu', 'Vista previa' ],
		hide: [ 'Hide preview', 'Vorschau ausblenden', 'Masquer l’aperçu', 'Ocultar vista previa' ],
		unblur: [ 'Show clearly', 'Unverhüllt zeigen', 'Montrer nettement', 'Mostrar con nitidez' ],
		blur: [ 'Blur again', 'Wieder verhüllen', 'Flouter de nouveau', 'Volver a difuminar' ],
		blurred: [ 'Preview, blurred', 'Vorschau, verhüllt', 'Aperçu flouté', 'Vista previa difuminada' ],
		clear: [ 'Preview, shown clearly', 'Vorschau, unverhüllt', 'Aperçu net', 'Vista previa nítida' ],
		noPreview: [ 'There is no preview of this file.', 'Von dieser Datei gibt es keine Vorschau.', 'Pas d’aperçu pour ce fichier.', 'No hay vista previa de este archivo.' ],
		row: [ 'Item $1 of $2: $3', 'Eintrag $1 von $2: $3', 'Élément $1 sur $2 : $3', 'Elemento $1 de $2: $3' ],
		progress: [ '$1 of $2 reviewed', '$1 von $2 geprüft', '$1 sur $2 examinés', '$1 de $2 revisados' ],
		failures: [ 'Not saved: $1', 'Nicht gespeichert: $1', 'Non enregistrés : $1', 'Sin guardar: $1' ],
		saving: [ 'Saving…', 'Wird gespeichert …', 'Enregistrement…', 'Guardando…' ],
		saved: [ 'Saved: $1', 'Gespeichert: $1', 'Enregistré : $1', 'Guardado: $1' ],
		agreed: [ 'Agreed, with “+1” in the comment: $1', 'Zugestimmt, mit „+1“ im Kommentar: $1', 'Approuvé, avec « +1 » dans le commentaire : $1', 'De acuerdo, con «+1» en el comentario: $1' ],
		undone: [ 'Undone: $1', 'Rückgängig gemacht: $1', 'Annulé : $1', 'Deshecho: $1' ],
		failed: [ 'Not saved: $1', 'Nicht gespeichert: $1', 'Non enregistré : $1', 'No guardado: $1' ],
		nothing: [ 'Nothing to undo here.', 'Hier gibt es nichts rückgängig zu machen.', 'Rien à annuler ici.', 'No hay nada que deshacer aquí.' ],
		changed: [ 'somebody set “$1” meanwhile. Choose again to replace it.', 'jemand hat inzwischen „$1“ gesetzt. Zum Ersetzen erneut wählen.', 'quelqu’un a mis « $1 » entre-temps. Choisissez de nouveau pour remplacer.', 'alguien puso «$1» entretanto. Elija de nuevo para reemplazarlo.' ],
		norow: [ 'the row is no longer on the page. Reload the page.', 'die Zeile steht nicht mehr auf der Seite. Bitte neu laden.', 'la ligne n’est plus sur la page. Rechargez la page.', 'la fila ya no está en la página. Recargue la página.' ],
		busy: [ 'the page is being edited by others again and again. Try once more.', 'die Seite wird ständig von anderen bearbeitet. Bitte noch einmal versuchen.', 'la page est sans cesse modifiée par d’autres. Réessayez.', 'otros editan la página una y otra vez. Inténtelo de nuevo.' ],
		http: [ 'no connection to the wiki.', 'keine Verbindung zum Wiki.', 'pas de connexion au wiki.', 'sin conexión con la wiki.' ],
		login: [ 'Log in to give verdicts with one click.', 'Anmelden, um Urteile mit einem Klick abzugeben.', 'Connectez-vous pour donner votre avis en un clic.', 'Acceda para dar veredictos con un clic.' ],
		keys: [ 'Keyboard keys', 'Tastenkürzel', 'Raccourcis clavier', 'Atajos de teclado' ],
		help: [ 'Help', 'Hilfe', 'Aide', 'Ayuda' ],
		helpMove: [ 'next, previous item', 'nächster, voriger Eintrag', 'élément suivant, précédent', 'elemento siguiente, anterior' ],
		helpUndo: [ 'undo the last verdict', 'letztes Urteil rückgängig machen', 'annuler le dernier avis', 'deshacer el último veredicto' ],
		helpPreview: [ 'preview: blurred, then clear, then hidden', 'Vorschau: verhüllt, dann unverhüllt, dann weg', 'aperçu : flouté, puis net, puis masqué', 'vista previa: difuminada, nítida, oculta' ],
		helpComment: [ 'write a comment; Enter saves it, Esc leaves it', 'Kommentar schreiben; Enter speichert, Esc verlässt das Feld', 'écrire un commentaire ; Entrée enregistre, Échap quitte', 'escribir un comentario; Intro lo guarda, Esc sale' ],
		helpHelp: [ 'this list', 'diese Liste', 'cette liste', 'esta lista' ],
		advice: [ 'A verdict is a note for people. It deletes nothing and notifies nobody.', 'Ein Urteil ist ein Hinweis für Menschen. Es löscht nichts und benachrichtigt niemanden.', 'Un avis est une note pour des humains. Il ne supprime rien et ne notifie personne.', 'Un veredicto es una nota para personas. No borra nada ni avisa a nadie.' ]
	};

	const language = Math.max( 0, LANGUAGES.indexOf( mw.config.get( 'wgUserLanguage' ).split( '-' )[ 0 ] ) );

	/**
	 * A text in the reader's language.
	 *
	 * @param {string} key
	 * @param {...string} parameters For $1, $2, …
	 * @return {string}
	 */
	review.say = function ( key ) {
		return mw.format.apply( mw, [ TEXTS[ key ][ language ] ].concat( Array.from( arguments ).slice( 1 ) ) );
	};
}( mw.commonsReview = mw.commonsReview || {} ) );
