// Keys for reviewing. Every key presses a button or follows a link that is on the page, so nothing needs them.
'use strict';

const KEPT_AS = 'console-keys-off';
const comment = document.getElementById( 'comment' );
const form = document.querySelector( '[data-verdicts]' );
const keysOn = document.getElementById( 'keys-on' );
let sent = false;

function isTyping( target ) {
	return target instanceof HTMLElement && target.matches( 'input:not([type=checkbox]), textarea, select' );
}

// On other keyboards the same place has other signs: what is not a Latin letter or digit goes by its place.
function keyOf( event ) {
	const sign = event.key.toLowerCase();
	const place = /^(?:Key|Digit)(.)$/.exec( event.code );
	return /^[a-z0-9]$/.test( sign ) || !place || event.shiftKey ? sign : place[ 1 ].toLowerCase();
}

function press( key ) {
	if ( key === 'c' && comment ) {
		comment.focus();
		return true;
	}
	const target = key === 'p' ?
		document.querySelector( '[data-toggle]' ) :
		document.querySelector( `[data-key="${ CSS.escape( key ) }"]` );
	if ( !target ) {
		return false;
	}
	target.click();
	return true;
}

keysOn.checked = localStorage.getItem( KEPT_AS ) === null;
keysOn.addEventListener( 'change', () => {
	if ( keysOn.checked ) {
		localStorage.removeItem( KEPT_AS );
	} else {
		localStorage.setItem( KEPT_AS, '1' );
	}
} );

document.addEventListener( 'keydown', ( event ) => {
	if ( event.key === 'Escape' && event.target === comment ) {
		comment.blur();
		return;
	}
	const plain = !( event.ctrlKey || event.altKey || event.metaKey || event.repeat );
	if ( plain && keysOn.checked && !isTyping( event.target ) && press( keyOf( event ) ) ) {
		event.preventDefault();
	}
} );

if ( form ) {
	form.addEventListener( 'submit', ( event ) => {
		if ( sent ) {
			event.preventDefault(); // a second press on the way to the next file would be about this one
		}
		sent = true;
	} );
	if ( document.getElementById( 'said' ) ) {
		document.getElementById( 'file' ).focus( { preventScroll: true } );
	}
}
window.addEventListener( 'pageshow', () => {
	sent = false; // the page can come back from the history
} );
