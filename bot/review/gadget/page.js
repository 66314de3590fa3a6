/* The report page as a whole: bar, keyboard keys, live region, and the beginning of it all. */
( function ( review ) {
	'use strict';

	const KEYS_OFF = 'commons-review-keys-off';
	const script = document.currentScript && document.currentScript.src;
	let rows = [], current = -1, bar, region, progress, help, keysButton;

	/**
	 * Tell people who do not see the page what happened.
	 *
	 * @param {string} text
	 */
	review.announce = ( text ) => {
		region.textContent = '';
		// A region that did not change is not read again.
		setTimeout( () => {
			region.textContent = text;
		}, 50 );
	};

	function keysAreOn() {
		return mw.storage.get( KEYS_OFF ) !== '1';
	}

	function count() {
		const reviewed = rows.filter( ( row ) => row.verdict ).length;
		const failed = rows.filter( ( row ) => row.failed ).length;
		progress.textContent = review.say( 'progress', reviewed, rows.length ) +
			( failed ? ' · ' + review.say( 'failures', failed ) : '' );
	}

	function select( index ) {
		current = index;
		rows.forEach( ( row, at ) => row.element.classList.toggle( 'commons-review-current', at === index ) );
	}

	function move( step, isWanted ) {
		for ( let index = current + step; index >= 0 && index < rows.length; index += step ) {
			if ( isWanted( rows[ index ] ) ) {
				rows[ index ].focus();
				return;
			}
		}
	}

	function chooseByKey( row, verdict ) {
		row.choose( verdict );
		move( 1, ( next ) => !next.verdict && !next.pending );
	}

	function undoLast() {
		// The row whose save came last, wherever the focus went since.
		let row;
		do {
			row = review.history.pop();
		} while ( row && !row.undoable.length );
		if ( row ) {
			row.undo();
		} else {
			review.announce( review.say( 'nothing' ) );
		}
	}

	function toggleHelp() {
		help.hidden = !help.hidden;
		bar.querySelector( '[aria-controls]' ).setAttribute( 'aria-expanded', String( !help.hidden ) );
		if ( !help.hidden ) {
			help.focus();
		}
	}

	function isTyping( target ) {
		return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test( target.nodeName );
	}

	function onKey( event ) {
		if ( !keysAreOn() || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey ||
			event.isComposing || isTyping( event.target ) ) {
			return;
		}
		const row = rows[ current ];
		const actions = {
			j: () => move( 1, () => true ),
			k: () => move( -1, () => true ),
			u: undoLast,
			'?': toggleHelp
		};
		if ( row ) {
			Object.assign( actions, { p: () => row.preview.next(), c: () => row.field.focus() } );
			row.buttons.forEach( ( button, index ) => {
				actions[ index + 1 ] = () => event.repeat || chooseByKey( row, button.dataset.verdict );
			} );
		}
		if ( Object.prototype.hasOwnProperty.call( actions, event.key ) ) {
			event.preventDefault();
			actions[ event.key ]();
		}
	}

	function helpPanel() {
		const panel = review.element( 'div', 'commons-review-help' );
		const list = review.element( 'dl', '' );
		const lines = [
			[ '1 2 3 4', [ 'nsfw-delete', 'nsfw-keep', 'sfw', 'unsure' ].map( ( key ) => review.say( key ) ).join( ' · ' ) ],
			[ 'j k', review.say( 'helpMove' ) ],
			[ 'u', review.say( 'helpUndo' ) ],
			[ 'p', review.say( 'helpPreview' ) ],
			[ 'c', review.say( 'helpComment' ) ],
			[ '?', review.say( 'helpHelp' ) ]
		];
		for ( const line of lines ) {
			const term = review.element( 'dt', '' );
			line[ 0 ].split( ' ' ).forEach( ( key ) => term.append( review.element( 'kbd', 'commons-review-key', key ), ' ' ) );
			list.append( term, review.element( 'dd', '', line[ 1 ] ) );
		}
		panel.append( list, review.element( 'p', 'commons-review-note', review.say( 'advice' ) ) );
		panel.id = 'commons-review-help';
		panel.tabIndex = -1;
		panel.hidden = true;
		return panel;
	}

	function buildBar( content ) {
		bar = review.element( 'div', 'commons-review-bar' );
		region = review.element( 'div', 'commons-review-live' );
		region.setAttribute( 'role', 'status' );
		region.setAttribute( 'aria-live', 'polite' );
		progress = review.element( 'strong', 'commons-review-progress' );
		help = helpPanel();
		const helpButton = review.button( 'commons-review-button', review.say( 'help' ), toggleHelp );
		helpButton.setAttribute( 'aria-controls', help.id );
		helpButton.setAttribute( 'aria-expanded', 'false' );
		const showKeys = () => keysButton.setAttribute( 'aria-pressed', String( keysAreOn() ) );
		keysButton = review.button( 'commons-review-button', review.say( 'keys' ), () => {
			mw.storage.set( KEYS_OFF, keysAreOn() ? '1' : '0' );
			showKeys();
		} );
		showKeys();
		bar.append( progress, keysButton, helpButton, help, region );
		bar.addEventListener( 'keydown', ( event ) => {
			if ( event.key === 'Escape' && !help.hidden ) {
				toggleHelp();
				helpButton.focus();
			}
		} );
		content.prepend( bar );
	}

	function build( content ) {
		const elements = Array.from( content.querySelectorAll( '.commons-review-item' ) ).filter(
			( one ) => /^[\w.-]+$/.test( one.dataset.id || '' ) && one.querySelector( '.commons-review-actions' )
		);
		if ( !elements.length || content.querySelector( '.commons-review-bar' ) ) {
			return;
		}
		buildBar( content );
		if ( !mw.config.get( 'wgUserName' ) ) {
			bar.replaceChildren( review.element( 'p', 'commons-review-note', review.say( 'login' ) ) );
			return;
		}
		rows = [];
		review.history = [];
		elements.forEach( ( element, index ) => {
			rows.push( new review.Row( element, index + 1, elements.length, count ) );
			element.addEventListener( 'focusin', () => select( index ) );
		} );
		select( -1 );
		count();
	}

	function isReportPage() {
		// Old revisions and differences show rows that may be there no longer.
		return mw.config.get( 'wgNamespaceNumber' ) === 2 && /^[^/]+\/Review\/./.test( mw.config.get( 'wgTitle' ) ) &&
			mw.config.get( 'wgAction' ) === 'view' && !mw.config.get( 'wgDiffNewId' ) &&
			mw.config.get( 'wgRevisionId' ) === mw.config.get( 'wgCurRevisionId' );
	}

	if ( review.started || !isReportPage() ) {
		return;
	}
	review.started = true;
	if ( script && script.includes( 'gadget.js' ) ) {
		const style = script.replace( 'gadget.js', 'gadget.css' ).replace( /text(\/|%2F)javascript/i, 'text/css' );
		mw.loader.load( style, 'text/css' );
	}
	mw.loader.using( [ 'mediawiki.api', 'mediawiki.storage' ] ).then( () => {
		mw.hook( 'wikipage.content' ).add( ( $content ) => build( $content[ 0 ] ) );
		document.addEventListener( 'keydown', onKey );
		window.addEventListener( 'beforeunload', ( event ) => {
			if ( rows.some( ( row ) => row.pending || row.isDirty() ) ) {
				event.preventDefault();
				event.returnValue = '';
			}
		} );
	} );
}( mw.commonsReview ) );
