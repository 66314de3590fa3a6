/* Pure: one row's parameters in a page's wikitext, found, escaped and changed. */
( function ( review ) {
	'use strict';

	// Spelled so that MediaWiki sees no template call in this page.
	const OPEN = '\x7b\x7b', CLOSE = '\x7d\x7d', OPEN_LINK = '\x5b\x5b', CLOSE_LINK = '\x5d\x5d';

	/**
	 * Make any text a parameter's value: it stays on one line, and nothing in it can end the parameter or act.
	 *
	 * @param {string} text
	 * @return {string} Letters, digits, spaces, `.,()` and numeric character references
	 */
	function escapeValue( text ) {
		return Array.from( text ).filter( ( character ) => !/^[\ud800-\udfff]$/.test( character ) ).join( '' )
			.replace( /[\s\u0085]+/g, ' ' )
			.replace( /[^\x20-\x7e\u00a1-\uffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff0-\uffff]/g, '' )
			.trim()
			.replace( /[^A-Za-z0-9 .,()\u00a1-\uffff]/g, ( character ) => '&#' + character.charCodeAt( 0 ) + ';' )
			.replace( /\b(RFC|PMID|ISBN) (?=\d)/g, '$1&#32;' );
	}

	/**
	 * What a reader sees of a value that escapeValue made; other wikitext is left as it is.
	 *
	 * @param {string} value
	 * @return {string}
	 */
	function unescapeValue( value ) {
		const shown = ( reference, code ) => String.fromCodePoint( Math.min( code, 0x10ffff ) );
		return value.replace( /&#(\d{1,7});/g, shown ).trim();
	}

	/**
	 * Read a template call that is closed on its own line, minding nested calls, links and nowiki.
	 *
	 * @param {string} text
	 * @param {number} start Where its braces begin
	 * @return {Object|null} `name`, `end` (of its text) and `parameters` with `name`, `start`, `end` of the value
	 */
	function readCall( text, start ) {
		const skipped = /<!--.*?-->|<nowiki>.*?<\/nowiki>/giy;
		const closing = [];
		const cuts = [];
		let at = start + 2;
		for ( ; text.slice( at, at + 2 ) !== CLOSE || closing.length; ) {
			const two = text.slice( at, at + 2 );
			skipped.lastIndex = at;
			if ( at >= text.length || text[ at ] === '\n' ) {
				return null;
			} else if ( skipped.test( text ) ) {
				at = skipped.lastIndex;
			} else if ( two === OPEN || two === OPEN_LINK ) {
				closing.push( two === OPEN ? CLOSE : CLOSE_LINK );
				at += 2;
			} else if ( closing.length && two === closing[ closing.length - 1 ] ) {
				closing.pop();
				at += 2;
			} else {
				if ( text[ at ] === '|' && !closing.length ) {
					cuts.push( at );
				}
				at++;
			}
		}
		const parameters = cuts.map( ( cut, index ) => {
			const end = index + 1 < cuts.length ? cuts[ index + 1 ] : at;
			const equals = text.indexOf( '=', cut );
			const named = equals > 0 && equals < end;
			return { name: named ? text.slice( cut + 1, equals ).trim() : '', start: named ? equals + 1 : cut + 1, end: end };
		} );
		const name = text.slice( start + 2, cuts.length ? cuts[ 0 ] : at ).trim();
		return { name: name, end: at, parameters: parameters };
	}

	/**
	 * Find the calls of the row template that carry an id.
	 *
	 * @param {string} text Wikitext of the page
	 * @param {string} id
	 * @return {Object[]} What readCall gives, with `find` and `value` by a parameter's name
	 */
	function findRows( text, id ) {
		const opening = /<!--[^]*?-->|<nowiki>[^]*?<\/nowiki>|\{\{/gi;
		const rows = [];
		for ( let match = opening.exec( text ); match; match = opening.exec( text ) ) {
			const call = match[ 0 ] === OPEN ? readCall( text, match.index ) : null;
			if ( call && /\/Review\/item$/.test( call.name ) ) {
				// As in MediaWiki, the last of several parameters of one name counts.
				call.find = ( name ) => call.parameters.filter( ( one ) => one.name === name ).pop();
				call.value = ( name ) => {
					const found = call.find( name );
					return found ? text.slice( found.start, found.end ).trim() : '';
				};
				opening.lastIndex = call.end;
				if ( call.value( 'id' ) === id ) {
					rows.push( call );
				}
			}
		}
		return rows;
	}

	/**
	 * Set parameters of the row with an id and touch nothing else. Where somebody doubled the row, both are set:
	 * whichever the bot keeps then says what the reviewer said.
	 *
	 * @param {string} text Wikitext of the page
	 * @param {string} id
	 * @param {Object} changes Parameter to value, both as wikitext
	 * @return {Object|null} `text` and `former`, verdict and comment before; null without such a row
	 */
	function setParameters( text, id, changes ) {
		const rows = findRows( text, id );
		const edits = [];
		for ( const row of rows ) {
			for ( const name of Object.keys( changes ) ) {
				const found = row.find( name ) || { start: row.end, end: row.end, added: '|' + name + '=' };
				edits.push( { start: found.start, end: found.end, value: ( found.added || '' ) + changes[ name ] } );
			}
		}
		// From the end, so that no edit moves what the next one points at.
		edits.sort( ( one, other ) => other.start - one.start );
		const changed = edits.reduce(
			( before, edit ) => before.slice( 0, edit.start ) + edit.value + before.slice( edit.end ), text
		);
		return rows.length ? {
			text: changed,
			former: { verdict: rows[ 0 ].value( 'verdict' ), comment: rows[ 0 ].value( 'comment' ) }
		} : null;
	}

	review.link = ( title, shown ) => OPEN_LINK + title + '|' + shown + CLOSE_LINK;
	review.escapeValue = escapeValue;
	review.unescapeValue = unescapeValue;
	review.setParameters = setParameters;
}( mw.commonsReview ) );
